import { bind } from '#app/bind'

export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind()
