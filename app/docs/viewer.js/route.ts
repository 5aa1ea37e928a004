import { bind } from '#app/bind'
import { viewerScript } from '#lib/api/docs/viewer'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(viewerScript)
