import { bind } from '#app/bind'
import { deleteUser } from '#lib/api/erase'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(deleteUser)
