// Runs a Node-RED flow file without editor or admin API: triggers the inject node once for each payload.
//
//   node run_node_red.cjs NODE_RED_MODULE USER_DIR FLOW_FILE < payloads.json
//
// Prints one JSON list: for each payload, in their order, the messages that debug nodes received, as
// [{"node": name of the debug node, "msg": message}].
'use strict'
const fs = require('fs')
const http = require('http')

const [nodeRedModule, userDir, flowFile] = process.argv.slice(2)
const payloads = JSON.parse(fs.readFileSync(0, 'utf8'))
const RED = require(nodeRedModule)

const outcomes = payloads.map(() => [])

RED.init(http.createServer(), {
  userDir,
  flowFile,
  credentialSecret: false,
  httpAdminRoot: false,
  httpNodeRoot: false,
  externalModules: { autoInstall: false },
  telemetry: { enabled: false, updateNotification: false },
  logging: { console: { level: 'off', handler: () => (entry) => process.stderr.write(JSON.stringify(entry) + '\n') } }
})

RED.hooks.add('onReceive.outcomes', ({ msg, destination }) => {
  if (destination.node.type !== 'debug') return
  outcomes[msg.run].push({ node: destination.node.name, msg })
  if (outcomes.every((messages) => messages.length > 0)) finish()
})

function finish() {
  process.stdout.write(JSON.stringify(outcomes) + '\n', () => process.exit(0))
}

RED.start().then(() => {
  RED.events.once('flows:started', () => {
    let injectNode
    RED.nodes.eachNode((node) => { if (node.type === 'inject') injectNode = node.id })
    payloads.forEach((payload, run) => RED.nodes.getNode(injectNode).receive({
      __user_inject_props__: [
        { p: 'payload', v: JSON.stringify(payload), vt: 'json' },
        { p: 'run', v: String(run), vt: 'num' }
      ]
    }))
  })
})
