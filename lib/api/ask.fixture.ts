import { testServices } from '#lib/http/services.fixture'
import type { Endpoint } from '#lib/http/endpoint'
import { handle } from '#lib/http/handle'
import type { Services } from '#lib/services'

/** A request to one endpoint where these parts of the services are the test's; without a host of its own it comes by loopback. */
export function ask(
  endpoint: Endpoint<Services>,
  address: string,
  parts: object,
  { body, headers = {}, signal = null }: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal | null } = {},
): Promise<Response> {
  const services = { ...testServices(), ...parts }
  const routes = handle([endpoint], {
    services: () => Promise.resolve(services as unknown as Services),
    background: (work) => void work,
    fallbackLog: services.log,
  })
  const sent =
    body === undefined ? { headers } : { headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
  return routes[endpoint.method](new Request(new URL(address, 'http://localhost:3000'), { method: endpoint.method, signal, ...sent }))
}
