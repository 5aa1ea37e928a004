import { bind } from '#app/bind'
import { listAgentRuns } from '#lib/api/runs'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listAgentRuns)
