import { z } from 'zod'
import { permissionRules } from '#lib/core/policy'

/** What an agent may be made with beside its template: it can only narrow what the template allows. */
export const overrides = z.strictObject({ permission: permissionRules.exactOptional() })
export type Overrides = z.infer<typeof overrides>
