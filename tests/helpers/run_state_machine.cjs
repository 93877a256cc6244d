// Validates a state machine, and evaluates its Choice state "Choose the branch" for each set of variables in stdin.
//
//   node run_state_machine.cjs NODE_MODULES FILE < variables.json
//
// Prints {"errors": the messages of the validator, "branches": the next state for each set of variables}.
'use strict'
const fs = require('fs')
const path = require('path')

const [modules, file] = process.argv.slice(2)
const validate = require(path.join(modules, 'asl-validator'))
const jsonata = require(path.join(modules, 'jsonata'))
const machine = JSON.parse(fs.readFileSync(file, 'utf8'))
const { Choices: choices, Default: otherwise } = machine.States['Choose the branch']

async function choose (variables) {
  for (const choice of choices) {
    const expression = choice.Condition.replace(/^\{%|%\}$/g, '')
    const value = await jsonata(expression).evaluate(undefined, variables)
    if (typeof value !== 'boolean') throw new Error(`not a boolean: ${expression}`)
    if (value) return choice.Next
  }
  return otherwise
}

async function main () {
  const branches = await Promise.all(JSON.parse(fs.readFileSync(0, 'utf8')).map(choose))
  const errors = validate(machine).errors.map((error) => JSON.stringify(error))
  console.log(JSON.stringify({ errors, branches }))
}

main()
