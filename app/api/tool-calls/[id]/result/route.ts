import { bind } from '#app/bind'
import { giveResult } from '#lib/api/call-result'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(giveResult)
