import { bind } from '#app/bind'
import { getKey, patchKey, revokeKey } from '#lib/api/keys'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getKey, patchKey, revokeKey)
