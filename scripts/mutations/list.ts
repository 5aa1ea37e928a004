import type { Mutation } from '#scripts/mutations/mutation'
import { storeMutations } from '#scripts/mutations/store'

/** Every planted fault. Those that need a build stand last, so that the others meet a build of the sources as they are. */
export const mutations: readonly Mutation[] = [...storeMutations]
