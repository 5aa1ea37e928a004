import { bind } from '#app/bind'
import { listKeys, createKey } from '#lib/api/keys'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listKeys, createKey)
