// Runs a Node-RED flow file without the editor, once for each run in stdin, and prints the last message of each run.
//
//   node run_node_red.cjs NODE_RED_MODULE USER_DIR FLOW_FILE < runs.json
//
// A run is {"event": …, "approval": …}. The inject node "Started" sends the event, unless it is null. If the run arrives
// at the debug node "approval" and its approval is not "no approval", the inject node "Approval" sends the approval:
// for "as requested" the list in msg.approval, for "as requested twice" this list twice. A run without an event sends
// its approval at once.
//
// Prints one line: for each run, in their order, {"node": name of the last debug node, "msg": what it received}.
// The process listens on no port.
'use strict'
const fs = require('fs')
const http = require('http')

const [nodeRedModule, userDir, flowFile] = process.argv.slice(2)
const runs = JSON.parse(fs.readFileSync(0, 'utf8'))
const RED = require(nodeRedModule)

const ends = new Map()
const counts = new Map()
const approved = new Set()

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

RED.hooks.add('onReceive.ends', ({ msg, destination }) => {
  if (destination.node.type !== 'debug') return
  const node = destination.node.name
  const { approval } = runs[msg.run]
  if (node === 'approval' && approval !== 'no approval' && !approved.has(msg.run)) {
    const requested = msg.approval.accepted_warnings
    const names = { 'as requested': requested, 'as requested twice': requested }[approval] ?? approval
    if (approval === 'as requested twice') sendApproval(msg.run, msg.approval.job_id, names)
    sendApproval(msg.run, msg.approval.job_id, names)
    return
  }
  counts.set(msg.run, (counts.get(msg.run) ?? 0) + 1)
  if (approval !== 'as requested twice' || counts.get(msg.run) === 2) ends.set(msg.run, { node, msg })
  if (ends.size === runs.length) finish()
})

function sendApproval (run, jobId, acceptedWarnings) {
  approved.add(run)
  inject('Approval', run, { job_id: jobId, accepted_warnings: acceptedWarnings })
}

function inject (name, run, payload) {
  let button
  RED.nodes.eachNode((node) => { if (node.type === 'inject' && node.name === name) button = node.id })
  RED.nodes.getNode(button).receive({
    __user_inject_props__: [
      { p: 'payload', v: JSON.stringify(payload), vt: 'json' },
      { p: 'run', v: String(run), vt: 'num' }
    ]
  })
}

function finish () {
  process.stdout.write(JSON.stringify(runs.map((_, run) => ends.get(run))) + '\n', () => process.exit(0))
}

RED.start().then(() => {
  RED.events.once('flows:started', () => {
    runs.forEach(({ event, approval }, run) => {
      if (event) inject('Started', run, event)
      else sendApproval(run, 'a-job-without-a-request', approval)
    })
  })
})
