import { bind } from '#app/bind'
import { localCrash } from '#lib/api/local'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(localCrash)
