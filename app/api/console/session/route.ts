import { bind } from '#app/bind'
import { getSession, signIn, signOut } from '#lib/api/session'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getSession, signIn, signOut)
