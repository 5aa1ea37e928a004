import { bind } from '#app/bind'
import { repairAgent } from '#lib/api/consistency'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(repairAgent)
