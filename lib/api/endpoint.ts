import { endpointsFor } from '#lib/http/endpoint'
import type { Services } from '#lib/services'

/** Makes an endpoint value whose handler gets the services of Baton. */
export const endpoint = endpointsFor<Services>()
