import { bind } from '#app/bind'
import { kodeMessage } from '#lib/api/kode'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(kodeMessage)
