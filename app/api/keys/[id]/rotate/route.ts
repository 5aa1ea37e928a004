import { bind } from '#app/bind'
import { rotateKey } from '#lib/api/keys'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(rotateKey)
