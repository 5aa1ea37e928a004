import type { ErrorCode } from '#lib/core/errors'

/** Cause and cure of each code in one sentence each; a code without them does not compile. */
export const errorTexts: Readonly<Record<ErrorCode, readonly [cause: string, cure: string]>> = {
  validation: [
    'Path, query, headers or body do not fit the endpoint; `problems` lists all of it at once.',
    'Mend what `problems` names; nothing was kept.',
  ],
  malformed_json: ['The body cannot be read as JSON.', 'Send JSON in UTF-8; look at `detail` for the place.'],
  invalid_agent_id: ['The id is not 1 to 128 of `A-Z a-z 0-9 _ . : -`, beginning with a letter or digit.', 'Choose another id.'],
  chat_id_missing: [
    'POST /api/chat names no chat: `WorkflowChatTransport` as it comes sends no id.',
    'Set up the transport with `chatTransport()` of the client package, or send `id`.',
  ],
  limit_above_template: [
    '`limits` of a message asks for more than its template allows.',
    'Lower the value, or raise the limit in the template.',
  ],
  override_refused: [
    '`overrides` of a message ask for more than its agent was made with; `field` says which, `allowed` how much.',
    'Ask for less; what an agent was made with cannot be widened by a message.',
  ],
  template_required: ['The message would create the agent, and no template is named or first in the registry.', 'Name `template`.'],
  template_unknown: [
    'No template of this id is deployed.',
    'Use one that `detail` lists, or add yours to lib/agents/index.ts and start again.',
  ],
  webhook_refused: [
    'The webhook address is not https, or leads to a private, loopback or metadata address.',
    'Use a public https address; http to loopback is for local mode only.',
  ],
  invalid_cursor: ['`cursor` was not made by this list.', 'Begin again without a cursor.'],
  unauthorized: [
    'There is no credential, or it is unknown, expired, revoked or of another environment; or a stream token is damaged or older than 15 minutes.',
    'Send `Authorization: Bearer` with an API key or the token of a signed-in user; a fresh stream token stands in `links.events` of the run.',
  ],
  forbidden: [
    'The credential is valid and may not do this: `reason` says why (`right_missing`, `fields_not_for_users`, `template_not_public`, `anonymous`, `no_tenant`, `more_rights_than_own`); or a token for something else, or a name that is not loopback in local mode.',
    'Use a key with the right of `needed`; what users may do stands in docs/security.md; use http://localhost or http://127.0.0.1 in local mode.',
  ],
  tenant_missing: [
    "The credential's tenant is not made yet in this environment, or its name belongs to another environment of the same database.",
    'Run `npm run bootstrap`; give each environment a BATON_TENANT of its own.',
  ],
  agent_not_found: [
    'There is no agent of this id here, or it was deleted; `reason` `deleted`: after the message of this Idempotency-Key.',
    'Check the id; a message with a template makes the agent, under a new key where the old one was used.',
  ],
  run_not_found: ['There is no run of this id here, or its agent was deleted.', 'Check the id.'],
  key_not_found: ['There is no API key of this id in the tenant.', 'List the keys.'],
  webhook_not_found: ['There is no webhook endpoint of this id here, or it was deleted.', 'Read `GET /api/webhooks`.'],
  delivery_not_found: [
    'There is no delivery of this id at this endpoint or run, or it is older than 7 days.',
    'Read `GET /api/webhooks/{id}/deliveries`.',
  ],
  webhook_disabled: [
    'The endpoint was disabled by a caller, by its answer 410, or because it failed for more than 3 days.',
    'Mend the receiver, then `PATCH /api/webhooks/{id} {"enabled": true}`: what was waiting is delivered.',
  ],
  webhook_limit: ['A tenant may have 20 webhook endpoints.', 'Delete one, or let one receiver pass events on.'],
  switch_not_found: ['No kill or hold of this scope is set.', 'Read `GET /api/kill`: it may have been lifted already.'],
  not_found: ['No endpoint stands at this path.', 'See the list in README.md.'],
  method_not_allowed: ['The path exists, the method does not.', 'Use a method of the `Allow` header.'],
  conflict: [
    'The agent exists with another body, or the request contradicts a state; `reason` says which: `other_template`, `other_body`, `never_begun`, `not_active`, `already_rotated`, `expired_already`, `confirm`, `too_many_limits`, `too_many_agents`.',
    'Do what `detail` says.',
  ],
  too_many_keys: ['The tenant has 100 active keys.', 'Revoke keys that are no longer used.'],
  approval_not_found: ['There is no approval of this id here, or its agent was deleted.', 'Read the inbox: GET /api/approvals.'],
  call_not_found: ['The tool call of this address is gone with its agent.', 'Drop the result.'],
  already_decided: [
    'The approval or tool call has been decided, answered, or ended with its run; `state` says how.',
    'Read it; what stands there is final. The same decision again is no error.',
  ],
  agent_busy: [
    'The agent works and the message said `onBusy: reject`.',
    'Wait for the run, or leave `onBusy` away: the message then queues.',
  ],
  not_last_run: [
    'The request names the run that it follows, and the conversation has gone on since (or that run is of an agent that was made anew); or a chat asked for another answer while a message came, or to a question that is not the last one (a page that has been open for long).',
    'Go on from `lastRunId` (a chat: load the messages again), or begin another conversation: nothing is forked.',
  ],
  run_open: ['Only a run that has ended can be retried.', 'Wait for its end, or cancel it first.'],
  nothing_to_retry: ["The agent's history ends with an answer, so there is nothing to go on from.", 'Send a message instead.'],
  template_missing: [
    "The agent's template is not part of this deployment; its runs wait.",
    'Deploy the template again: they go on by themselves.',
  ],
  interrupted: [
    'Somebody interrupted the run, or a message with `onBusy: interrupt` took its place.',
    'Nothing; retry the run if it shall go on.',
  ],
  cancelled: ['Somebody cancelled the run.', 'Nothing; retry the run if it shall go on.'],
  cursor_expired: [
    'Events up to this number are no longer kept (7 days, 10,000 per agent).',
    'Read the messages, then follow from `oldestSeq`.',
  ],
  authority_expired: [
    '`overrides.expiresAt` of the agent or message, or the time of its preset, is over.',
    'Make a new agent; an expired authority is not given back.',
  ],
  too_late: [
    'The approval or the call of an external tool has expired: the default of the template was applied.',
    'Send the agent a new message; raise approvalExpiresMs or expiresMs if people need longer.',
  ],
  expired: [
    'The authority of the run ended before its work did; `error.code` is `authority_expired`.',
    'Send the message to an agent whose authority stands.',
  ],
  precondition_failed: [
    '`If-Match: *` asked for an agent that exists, and it does not; or `If-Match` named an entity tag, which is compared nowhere.',
    'Leave the header away: a message then creates the agent.',
  ],
  body_too_large: [
    'The body or the message is larger than the setting allows.',
    'Send less, or raise BATON_MAX_BODY_BYTES or BATON_MAX_MESSAGE_BYTES.',
  ],
  unsupported_media_type: ['The content type is not JSON.', 'Send `content-type: application/json`.'],
  idempotency_mismatch: ['The key was used for a request with another method, path or body.', 'Use a new key for a new request.'],
  max_steps: [
    'The run made as many steps as its limit allows.',
    'Raise `limits.maxSteps` in the template, or ask for less at a time. What it said before is in the messages.',
  ],
  max_tokens: [
    'The run used as many tokens as its limit allows, or its answer was cut before it had text or a whole tool call.',
    'Raise `limits.maxTokens` in the template; for a cut answer `settings.maxOutputTokens` (what the model thinks counts).',
  ],
  max_tool_calls: ['The run would make more tool calls than its limit allows.', 'Raise `limits.maxToolCalls` in the template.'],
  max_time: ['The run worked as long as its limit allows; waiting is not counted.', 'Raise `limits.maxWallMs` in the template.'],
  content_filtered: ["The provider's filter refused the content.", 'Change the message or the instructions.'],
  context_too_long: [
    'The conversation does not fit the model, not even after the window was moved.',
    'Lower `window.maxTokens` of the template, or send a shorter message.',
  ],
  empty_response: ['The model answered twice without text and without tool calls.', 'Retry the run; look at the instructions.'],
  hook_stopped: [
    'A preModel hook of the template said that the model must not be asked; `detail` has its reason.',
    'Nothing that a retry would change; see the hook.',
  ],
  unknown_outcome: [
    'A `once` tool was started and its process died; the template says that such a run ends.',
    'Find out whether it happened, then retry the run or not.',
  ],
  killed: [
    'A kill switch covers this run, agent, user, key, tenant or everything; `scope` and `reason` say which and why.',
    'An admin lifts it with `DELETE /api/kill/{scope}`; then send the message again, or retry the run.',
  ],
  queue_full: [
    'As many messages wait already as template or limit allows, or as many runs are at work as the limit of `scope` allows.',
    'Wait as long as Retry-After says.',
  ],
  rate_limited: ['Too many requests from this caller.', 'Wait as long as Retry-After says.'],
  budget_exceeded: [
    'The next call, reserved at its worst case, does not fit a limit: that of the run, or the budget named by `scope`, whose numbers stand beside it. `hard` means that the call alone is above what one call may cost.',
    'Wait until `resetsAt`, raise the budget (PUT /api/budgets/{scope}), or `limits.maxCostMicros` in the template where the scope is the run.',
  ],
  price_unknown: [
    'The model has no price, so its calls cannot be held to a limit.',
    'Add the price in lib/providers.ts (the message names the line; `free` is a price), or set BATON_PRICE_CEILING.',
  ],
  internal_error: ['A fault of Baton itself; the log has it under the request id.', 'Try again; report it with the request id.'],
  hook_failed: [
    'A preModel hook of the template, or its function `instructions`, threw, did not answer in its time or gave no text, so the model was not asked.',
    'Mend what the message names, then retry the run.',
  ],
  step_crashed: [
    'One step took its process down again and again (BATON_STEP_CRASHES).',
    'Look at the tools of that step and at memory; then retry the run.',
  ],
  step_too_long: [
    'One step did not fit into the time of a function, twice.',
    'Split the work, lower time-outs, or raise maxDuration of all route files and of vercel.json, then BATON_MAX_DURATION_MS (docs/deploy.md, Longer functions).',
  ],
  corrupted_data: [
    'A stored message of this agent cannot be read; only its runs end so, other agents go on.',
    'See GET /api/agents/{id}/consistency, mend it with POST /api/agents/{id}/repair, then retry the run.',
  ],
  provider_auth: ['The provider refused the key.', 'Check the key variable that lib/providers.ts names.'],
  provider_quota: ['The account at the provider has used up what it may use.', 'Raise the quota there; then retry the run.'],
  provider_rate_limited: [
    'The provider limited the rate, retries and fallbacks included.',
    'Retry later, add a fallback model, or ask for a higher rate.',
  ],
  provider_timeout: [
    'The provider did not answer in time, retries and fallbacks included.',
    'Retry later, add a fallback model, or give one that thinks in silence longer: `BATON_MODEL_SILENCE_MS`.',
  ],
  provider_unavailable: [
    'The provider could not be reached or failed, retries and fallbacks included.',
    'Retry later or add a fallback model.',
  ],
  bad_request: [
    'The provider says that the request is wrong, or it could not be made at all and cost nothing (`was not asked`).',
    "Read `detail`; check the template's settings and the tools' schemas. Files of the message are left out of later runs; a retry sends them again.",
  ],
  model_not_found: ['The provider does not know the model.', 'Correct `model` of the template.'],
  access_control_missing: [
    'Nobody could ever be let in: the environment has no API key, and neither BATON_ADMIN_KEY nor users are set up.',
    'Run `npm run bootstrap`, or set BATON_ADMIN_KEY; for signed-in users set BATON_USER_TENANT or BATON_TENANT_CLAIM.',
  ],
  sign_in_unavailable: [
    'The public keys of the Supabase project could not be fetched, so a token cannot be checked.',
    'Try again as Retry-After says; look at SUPABASE_URL and the status of the project.',
  ],
  database_unavailable: [
    'Postgres or the Supabase API did not answer.',
    'Try again as Retry-After says; what was accepted before is kept.',
  ],
  idempotency_busy: [
    'A twin of this request, or other work on the same agent, holds what it needs for longer than 3 to 5 s; nothing was done.',
    'Try again as Retry-After says.',
  ],
  lease_lost: ['Another executor has taken the run over; nothing was written by this one.', 'Read the run: it goes on.'],
  not_configured: [
    'Variables are missing or wrong; `problems` names each. Or Supabase refuses the key, or the build is newer than the database: `detail` says which.',
    'Set them (docs/config.md) and start again; run `npm run migrate` before the deployment.',
  ],
}
