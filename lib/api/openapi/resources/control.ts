import { listAudit } from '#lib/api/audit'
import { createKey, getKey, listKeys, patchKey, revokeKey, rotateKey } from '#lib/api/keys'
import { liftSwitch, listSwitches, setSwitch } from '#lib/api/kill'
import { listLimits, putLimit } from '#lib/api/limits'
import { json, nothing, operation, orElse, page, type Resource } from '#lib/api/openapi/describe'
import {
  apiKey,
  auditEntry,
  exampleEntry,
  exampleKey,
  exampleLimit,
  exampleSwitch,
  killSwitch,
  limit,
  limitList,
  newApiKey,
  rotatedApiKey,
  switchLifted,
  switchSet,
} from '#lib/api/openapi/schemas/control'

const plainKey = 'bt_7Qk2mXw9...'

/** Control: kill and hold, limits, the audit log. */
export const control: Resource = {
  tag: 'Control',
  description: 'Stop what runs, limit what may run, see who decided what.',
  operations: {
    setSwitch: operation(
      setSwitch,
      { 200: json(switchSet, 'The switch is set; what runs stops', { ...exampleSwitch, ended: 0 }) },
      {
        problems: ['agent_not_found', 'run_not_found', 'key_not_found', 'conflict'],
        example: { scope: 'agent:support-4711', mode: 'hold', reason: 'looking into it' },
      },
    ),
    liftSwitch: operation(
      liftSwitch,
      { 200: json(switchLifted, 'Held runs go on; killed ones stay ended', { ...exampleSwitch, lifted: true, resumed: 3 }) },
      { problems: ['switch_not_found'] },
    ),
    listSwitches: operation(listSwitches, { 200: page('KillSwitchPage', killSwitch, 'What is killed or held now', exampleSwitch) }),
    listLimits: operation(listLimits, {
      200: json(limitList, 'What has been set, and what holds where nothing has', {
        data: [exampleLimit],
        defaults: { 'user:*': { requestsPerMinute: 600, messagesPerMinute: 60, concurrentRuns: 5, agents: 10_000 } },
      }),
    }),
    putLimit: operation(
      putLimit,
      { 200: json(limit, 'The limits of the scope', exampleLimit) },
      { problems: ['conflict'], example: { messagesPerMinute: 20 } },
    ),
    listAudit: operation(listAudit, {
      200: orElse(
        page('AuditPage', auditEntry, 'Decisions, newest first unless order=asc; or all that match, one a line', exampleEntry),
        'application/x-ndjson',
        auditEntry,
        exampleEntry,
      ),
    }),
  },
}

/** API keys. */
export const keys: Resource = {
  tag: 'Keys',
  description: 'API keys of the tenant; the key itself is shown once.',
  operations: {
    createKey: operation(
      createKey,
      { 201: json(newApiKey, 'The key, shown this once', { ...exampleKey, key: plainKey }, ['Location']) },
      { problems: ['too_many_keys', 'conflict'], example: { name: 'shop backend', scopes: ['agents:read', 'agents:run'] } },
    ),
    listKeys: operation(listKeys, { 200: page('ApiKeyPage', apiKey, 'Keys, revoked ones too, oldest first', exampleKey) }),
    getKey: operation(getKey, { 200: json(apiKey, 'The key, without itself', exampleKey) }, { problems: ['key_not_found'] }),
    patchKey: operation(
      patchKey,
      { 200: json(apiKey, 'The key as it is now', exampleKey) },
      { problems: ['key_not_found', 'conflict'], example: { name: 'shop backend, old' } },
    ),
    revokeKey: operation(
      revokeKey,
      { 204: nothing('The next request with the key is refused') },
      { problems: ['key_not_found', 'conflict'] },
    ),
    rotateKey: operation(
      rotateKey,
      {
        201: json(rotatedApiKey, 'The successor, shown this once, and the old key', { ...exampleKey, key: plainKey, old: exampleKey }, [
          'Location',
        ]),
      },
      { problems: ['key_not_found', 'too_many_keys', 'conflict'], example: { overlapMs: 3_600_000 } },
    ),
  },
}
