import { bind } from '#app/bind'
import { listSwitches, setSwitch } from '#lib/api/kill'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listSwitches, setSwitch)
