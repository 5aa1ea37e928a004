/**
 * What the parts need of Node's http. An `import` of node:http reads every export to make its namespace, also those that load fetch when they are first read: 75 ms of CPU
 * in each process, three of them in each stack.
 */
export const { createServer, request } = process.getBuiltinModule('node:http')
