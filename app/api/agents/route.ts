import { bind } from '#app/bind'
import { listAgents, createAgent } from '#lib/api/agents'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listAgents, createAgent)
