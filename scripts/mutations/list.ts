import { accessMutations } from '#scripts/mutations/access'
import { boundsMutations } from '#scripts/mutations/bounds'
import { engineMutations } from '#scripts/mutations/engine'
import { foundInAnswersMutations } from '#scripts/mutations/found-in-answers'
import { foundInChatMutations } from '#scripts/mutations/found-in-chat'
import { foundMutations } from '#scripts/mutations/found'
import { foundInClientsMutations } from '#scripts/mutations/found-in-clients'
import { foundAtRequestsMutations } from '#scripts/mutations/found-at-requests'
import { foundByAuthorsMutations } from '#scripts/mutations/found-by-authors'
import { foundByFiveReadersMutations } from '#scripts/mutations/found-by-five-readers'
import { foundByDeployersMutations } from '#scripts/mutations/found-by-deployers'
import { foundByMachineMutations } from '#scripts/mutations/found-by-machine'
import { foundByNewcomersMutations } from '#scripts/mutations/found-by-newcomers'
import { foundByASecondWalkMutations } from '#scripts/mutations/found-by-a-second-walk'
import { foundByAWalkMutations } from '#scripts/mutations/found-by-a-walk'
import { foundByOperatorsMutations } from '#scripts/mutations/found-by-operators'
import { foundByReadingMutations } from '#scripts/mutations/found-by-reading'
import { foundBySecondReadingMutations } from '#scripts/mutations/found-by-second-reading'
import { foundInModelsMutations } from '#scripts/mutations/found-in-models'
import { foundInMoneyMutations } from '#scripts/mutations/found-in-money'
import { foundInPagesMutations } from '#scripts/mutations/found-in-pages'
import { foundInRacesMutations } from '#scripts/mutations/found-in-races'
import { foundInReportsMutations } from '#scripts/mutations/found-in-reports'
import { foundInRunsMutations } from '#scripts/mutations/found-in-runs'
import { foundInSecretsMutations } from '#scripts/mutations/found-in-secrets'
import { foundInSqlMutations } from '#scripts/mutations/found-in-sql'
import { foundInTheCoreMutations } from '#scripts/mutations/found-in-the-core'
import { foundInTheStoreMutations } from '#scripts/mutations/found-in-the-store'
import { foundInTheApiMutations } from '#scripts/mutations/found-in-the-api'
import { foundInTheDialectsMutations } from '#scripts/mutations/found-in-the-dialects'
import { foundInValuesMutations } from '#scripts/mutations/found-in-values'
import { foundLaterMutations } from '#scripts/mutations/found-later'
import { foundOverHttpMutations } from '#scripts/mutations/found-over-http'
import { foundInTheConsoleAgainMutations } from '#scripts/mutations/found-in-the-console-again'
import { foundInTheConsoleMutations } from '#scripts/mutations/found-in-the-console'
import { leftBehindMutations } from '#scripts/mutations/left-behind'
import { moneyMutations } from '#scripts/mutations/money'
import type { Mutation } from '#scripts/mutations/mutation'
import { sentenceMutations } from '#scripts/mutations/sentences'
import { storeMutations } from '#scripts/mutations/store'
import { neverBeganMutations } from '#scripts/mutations/never-began'
import { survivorMutations } from '#scripts/mutations/survivors'
import { survivorsEngineMutations } from '#scripts/mutations/survivors-engine'
import { unheardApiMutations } from '#scripts/mutations/unheard-api'
import { unheardChecksMutations } from '#scripts/mutations/unheard-checks'
import { unheardEdgesMutations } from '#scripts/mutations/unheard-edges'
import { unheardBesideRequestsMutations } from '#scripts/mutations/unheard-beside-requests'
import { unheardInRequestsMutations } from '#scripts/mutations/unheard-in-requests'
import { unheardInSqlMutations } from '#scripts/mutations/unheard-in-sql'
import { unheardRepairsMutations } from '#scripts/mutations/unheard-repairs'
import { unheardSqlMutations } from '#scripts/mutations/unheard-sql'
import { unlistedCodeMutations } from '#scripts/mutations/unlisted-code'
import { unlistedSqlMutations } from '#scripts/mutations/unlisted-sql'

/** Every planted fault. Those that need a build stand last: a build is not made anew for the sources as they are. */
export const mutations: readonly Mutation[] = [
  ...storeMutations,
  ...moneyMutations,
  ...accessMutations,
  ...engineMutations,
  ...foundMutations,
  ...foundLaterMutations,
  ...foundOverHttpMutations,
  ...foundInAnswersMutations,
  ...foundInChatMutations,
  ...foundInClientsMutations,
  ...foundByReadingMutations,
  ...foundByNewcomersMutations,
  ...foundByAuthorsMutations,
  ...foundByDeployersMutations,
  ...foundByMachineMutations,
  ...foundByOperatorsMutations,
  ...foundBySecondReadingMutations,
  ...foundInModelsMutations,
  ...foundInMoneyMutations,
  ...foundInPagesMutations,
  ...foundInRacesMutations,
  ...foundInReportsMutations,
  ...foundInRunsMutations,
  ...foundInSecretsMutations,
  ...foundInSqlMutations,
  ...foundInTheCoreMutations,
  ...foundInTheStoreMutations,
  ...foundAtRequestsMutations,
  ...foundInTheApiMutations,
  ...foundInTheDialectsMutations,
  ...foundInValuesMutations,
  ...foundByAWalkMutations,
  ...foundByASecondWalkMutations,
  ...foundByFiveReadersMutations,
  ...foundInTheConsoleMutations,
  ...foundInTheConsoleAgainMutations,
  ...leftBehindMutations,
  ...boundsMutations,
  ...unlistedSqlMutations,
  ...unheardSqlMutations,
  ...unheardInSqlMutations,
  ...unheardApiMutations,
  ...unheardChecksMutations,
  ...unheardRepairsMutations,
  ...unheardEdgesMutations,
  ...unheardInRequestsMutations,
  ...unheardBesideRequestsMutations,
  ...sentenceMutations,
  ...neverBeganMutations,
  ...survivorMutations,
  ...unlistedCodeMutations,
  ...survivorsEngineMutations,
].toSorted((a, b) => Number(a.build ?? false) - Number(b.build ?? false))
