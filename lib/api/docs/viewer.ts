import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asset } from '#lib/api/docs/asset'
import { htmlPage } from '#lib/api/docs/html'
import { endpoint } from '#lib/api/endpoint'

/*
 * The document for people: Swagger UI, from this origin alone. Its files are read from node_modules where they are asked for, so no
 * other route carries them.
 */

const policy = [
  "script-src 'self'",
  // Swagger UI sets styles on its elements and draws its icons as data: URLs.
  "style-src 'self' 'unsafe-inline'",
  'img-src data:',
  'font-src data:',
  "connect-src 'self'",
]

// Each written out whole: so the build traces these two files and not the folder.
const script = join(process.cwd(), 'node_modules/swagger-ui-dist/swagger-ui-bundle.js')
const look = join(process.cwd(), 'node_modules/swagger-ui-dist/swagger-ui.css')
/** The files change with a deployment only. */
const maxAgeS = 3_600

/** GET /docs */
export const docsPage = endpoint({
  method: 'GET',
  path: '/docs',
  summary: 'The API, for people',
  access: 'open',
  handler: () =>
    htmlPage({
      title: 'API · Baton',
      style: 'body { margin: 0; }',
      head: '<link rel="stylesheet" href="/docs/viewer.css">\n<script src="/docs/viewer.js" defer></script>\n<script src="/docs/start.js" defer></script>\n',
      body: '<main id="docs"></main>\n<noscript><p>The API is described by <a href="/api/openapi.json">/api/openapi.json</a>.</p></noscript>',
      policy,
    }),
})

const start = `document.documentElement.classList.toggle('dark-mode', matchMedia('(prefers-color-scheme: dark)').matches)
window.SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#docs', deepLinking: true, validatorUrl: null })\n`

/** GET /docs/start.js: a file of its own, because the page runs no inline script. */
export const viewerStart = endpoint({
  method: 'GET',
  path: '/docs/start.js',
  summary: 'Starts the viewer',
  access: 'open',
  handler: ({ request }) => asset(request, 'text/javascript', start, maxAgeS),
})

/** GET /docs/viewer.js */
export const viewerScript = endpoint({
  method: 'GET',
  path: '/docs/viewer.js',
  summary: 'The viewer',
  access: 'open',
  handler: async ({ request }) => asset(request, 'text/javascript', await readFile(script, 'utf8'), maxAgeS),
})

/** GET /docs/viewer.css */
export const viewerStyle = endpoint({
  method: 'GET',
  path: '/docs/viewer.css',
  summary: 'How the viewer looks',
  access: 'open',
  handler: async ({ request }) => asset(request, 'text/css', await readFile(look, 'utf8'), maxAgeS),
})
