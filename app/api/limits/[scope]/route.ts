import { bind } from '#app/bind'
import { putLimit } from '#lib/api/limits'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(putLimit)
