import { bind } from '#app/bind'
import { listToolCalls } from '#lib/api/tool-calls'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listToolCalls)
