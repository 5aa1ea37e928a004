import { envExample } from '#lib/env/example'

process.stdout.write(envExample())
