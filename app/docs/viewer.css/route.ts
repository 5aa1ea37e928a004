import { bind } from '#app/bind'
import { viewerStyle } from '#lib/api/docs/viewer'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(viewerStyle)
