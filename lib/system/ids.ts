import { v7 } from 'uuid'
import type { Ids } from '#lib/core/ports'

/** Ids from UUIDv7: they sort by the time of their making. */
export function systemIds(): Ids {
  return {
    make: (prefix) => `${prefix}_${v7().replaceAll('-', '')}`,
    uuid: () => v7(),
  }
}
