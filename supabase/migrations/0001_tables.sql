-- The tables of Baton. All live in schema baton, which is not exposed; callers reach them through the functions baton_* only.
-- Expand, never contract: a later file may add columns; old code runs on the new schema for one version.
create schema if not exists baton;

-- Every instant in SQL is baton.clock(), so that the local mode can move time. In production it is clock_timestamp(), and the planner puts that in its
-- place: it is asked thirty times a turn.
create or replace function baton.clock() returns timestamptz language sql volatile as $$ select pg_catalog.clock_timestamp() $$;
-- When the transaction began, on that clock: of which day its money is. All that one transaction books is of one day, also at midnight.
create or replace function baton.began() returns timestamptz language plpgsql volatile set search_path = '' as $$
begin
  return baton.clock() - (pg_catalog.clock_timestamp() - pg_catalog.now());
end $$;

create table if not exists baton.tenants (
  id text primary key,
  environment text not null,
  webhook jsonb,
  webhook_secret text,
  created_at timestamptz not null default baton.clock()
);

-- An agent: a durable conversation. Its row is the lock that every change of the agent takes first, and holds all its counters.
-- No index touches a column that a commit changes, so that commits stay HOT updates.
create table if not exists baton.agents (
  agent_uid uuid primary key,
  tenant_id text not null references baton.tenants (id),
  environment text not null,
  id text not null check (id ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$'),
  owner_id uuid,
  created_by text,
  template text not null,
  settings jsonb not null,
  metadata jsonb not null default '{}',
  overrides jsonb not null default '{}',
  webhook jsonb,
  state text not null default 'ready' check (state in ('ready', 'working', 'paused')),
  active_run text,
  queued integer not null default 0,
  version bigint not null default 0,
  last_event_seq bigint not null default 0,
  first_event_seq bigint not null default 1,
  last_message_seq bigint not null default 0,
  last_inbox bigint not null default 0,
  window_from bigint not null default 1,
  window_tokens bigint not null default 0,
  steps bigint not null default 0,
  lease_owner text,
  lease_epoch bigint not null default 0,
  lease_until timestamptz,
  last_commit text,
  last_answer jsonb,
  continued_at timestamptz,
  format integer not null default 1,
  created_at timestamptz not null default baton.clock(),
  updated_at timestamptz not null default baton.clock(),
  unique (tenant_id, id)
) with (fillfactor = 80);
create index if not exists agents_listing on baton.agents (tenant_id, agent_uid);

create table if not exists baton.runs (
  run_id text primary key,
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  tenant_id text not null,
  environment text not null,
  owner_id uuid,
  created_by text,
  state text not null check (state in ('queued', 'running', 'awaiting_approval', 'waiting', 'completed', 'failed', 'cancelled', 'killed', 'budget_exceeded', 'expired')),
  stop_reason text,
  cause text not null default 'message' check (cause in ('message', 'schedule', 'child', 'retry', 'fork')),
  cause_id text,
  parent_run_id text,
  root_run_id text,
  retry_of text,
  opening_seq bigint,
  first_event_seq bigint,
  wait_kind text check (wait_kind in ('retry', 'sleep', 'hold', 'external', 'child', 'budget', 'template')),
  -- Not null only while the run is its agent's active one and needs an executor at that instant.
  due_at timestamptz,
  step integer not null default 0,
  model_calls integer not null default 0,
  tool_calls integer not null default 0,
  attempt integer not null default 0,
  crashes integer not null default 0,
  cuts integer not null default 0,
  empty_answers integer not null default 0,
  window_retries integer not null default 0,
  model_index integer not null default 0,
  slices integer not null default 0,
  work_ms bigint not null default 0,
  limits jsonb not null,
  metadata jsonb not null default '{}',
  webhook jsonb,
  usage jsonb not null default '{"inputTokens":0,"outputTokens":0,"cacheReadTokens":0,"cacheWriteTokens":0,"reasoningTokens":0}',
  cost_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  stop_requested text check (stop_requested in ('interrupted', 'cancelled', 'killed')),
  stop_note text,
  template_opened text,
  template_last text,
  output text,
  error jsonb,
  traceparent text,
  format integer not null default 1,
  created_at timestamptz not null default baton.clock(),
  started_at timestamptz,
  ended_at timestamptz,
  updated_at timestamptz not null default baton.clock()
) with (fillfactor = 80);
drop index if exists baton.runs_due, baton.outbox_unsent, baton.tool_calls_of_run; -- of earlier states of this repository
create index if not exists runs_due_in_turn on baton.runs (environment, tenant_id, due_at) where due_at is not null;
create index if not exists runs_of_agent on baton.runs (agent_uid, run_id);
create index if not exists runs_of_tenant on baton.runs (tenant_id, run_id);

-- The conversation: append-only, numbered when a message enters it. json, not jsonb: nothing queries inside, and rows load faster.
create table if not exists baton.messages (
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  seq bigint not null,
  tenant_id text not null,
  owner_id uuid,
  created_by text,
  run_id text,
  role text not null check (role in ('system', 'user', 'assistant', 'tool')),
  kind text not null default 'message',
  content json not null,
  content_ref text,
  bytes integer not null,
  est_tokens integer not null,
  format integer not null default 1,
  created_at timestamptz not null default baton.clock(),
  primary key (agent_uid, seq)
);

-- Accepted messages that have not entered the conversation. Steered and interrupting messages go ahead of the queue.
create table if not exists baton.inbox (
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  position bigint not null,
  tenant_id text not null,
  owner_id uuid,
  created_by text,
  run_id text not null,
  mode text not null check (mode in ('enqueue', 'steer', 'interrupt')),
  kind text not null default 'message',
  content json not null,
  bytes integer not null,
  est_tokens integer not null,
  limits jsonb not null,
  metadata jsonb not null default '{}',
  webhook jsonb,
  created_at timestamptz not null default baton.clock(),
  primary key (agent_uid, position)
);

create table if not exists baton.tool_calls (
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  call_id text not null,
  tenant_id text not null,
  owner_id uuid,
  created_by text,
  run_id text not null,
  step integer not null,
  index integer not null,
  name text not null,
  input json,
  effect text not null check (effect in ('pure', 'idempotent', 'once', 'external')),
  state text not null check (state in ('pending', 'approval_required', 'approved', 'executing', 'completed', 'failed', 'denied', 'sealed', 'waiting_external')),
  output json,
  attempts integer not null default 0,
  epoch bigint,
  idempotency_key text not null,
  entered boolean not null default false,
  audit jsonb not null default '[]',
  started_at timestamptz,
  ended_at timestamptz,
  created_at timestamptz not null default baton.clock(),
  primary key (agent_uid, call_id)
) with (fillfactor = 80);
-- Does not begin with the agent: of two indexes that do, the planner takes either for a call of a young agent, and keeps to it when the agent has thousands.
create index if not exists tool_calls_by_run on baton.tool_calls (run_id, step, index);

-- Durable facts, numbered without gaps per agent from the counter on the agent row (never a serial: a late commit would be skipped for ever).
create table if not exists baton.events (
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  seq bigint not null,
  tenant_id text not null,
  owner_id uuid,
  created_by text,
  run_id text,
  step integer,
  channel text not null check (channel in ('progress', 'control', 'monitor')),
  type text not null,
  data json not null,
  format integer not null default 1,
  at timestamptz not null default baton.clock(),
  primary key (agent_uid, seq)
);
create index if not exists events_age on baton.events using brin (at);

-- What must be told to the outside after a commit: continuations and webhooks. Sent after the commit, repeated by the sweeper.
create table if not exists baton.outbox (
  id text primary key,
  tenant_id text not null,
  environment text not null,
  kind text not null check (kind in ('continue', 'webhook')),
  agent_uid uuid,
  data jsonb not null,
  due_at timestamptz not null,
  created_at timestamptz not null default baton.clock(),
  sent_at timestamptz
);
create index if not exists outbox_unsent_in_turn on baton.outbox (environment, tenant_id, due_at) where sent_at is null;
create index if not exists outbox_of_agent on baton.outbox (agent_uid);
create index if not exists outbox_age on baton.outbox using brin (created_at);

create table if not exists baton.webhook_deliveries (
  id text primary key,
  event_id text not null,
  tenant_id text not null,
  environment text not null,
  agent_uid uuid,
  run_id text,
  url text not null,
  secret text,
  type text not null,
  payload json not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_at timestamptz,
  queued_at timestamptz,
  log jsonb not null default '[]',
  created_at timestamptz not null default baton.clock(),
  ended_at timestamptz
);
create index if not exists deliveries_due on baton.webhook_deliveries (environment, next_at) where next_at is not null;
create index if not exists deliveries_of_run on baton.webhook_deliveries (run_id);
create index if not exists deliveries_age on baton.webhook_deliveries using brin (created_at);

create table if not exists baton.idempotency (
  tenant_id text not null,
  caller text not null,
  key text not null,
  hash text not null,
  run_id text,
  agent_uid uuid,
  created_at timestamptz not null default baton.clock(),
  primary key (tenant_id, caller, key)
);
create index if not exists idempotency_age on baton.idempotency using brin (created_at);
create index if not exists idempotency_of_agent on baton.idempotency (agent_uid);

-- Values that tools keep for their agent; written by the commit of the outcome.
create table if not exists baton.agent_state (
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  key text not null check (length(key) between 1 and 128),
  value json not null,
  version bigint not null default 1,
  primary key (agent_uid, key)
);

-- Money set aside before a model call and what it cost in the end. Does not die with its agent.
create table if not exists baton.reservations (
  id text primary key,
  tenant_id text not null,
  environment text not null,
  agent_uid uuid not null,
  agent_id text not null,
  owner_id uuid,
  created_by text,
  run_id text not null,
  step integer not null,
  attempt integer not null,
  epoch bigint not null,
  model text,
  micros bigint not null check (micros >= 0),
  state text not null default 'reserved' check (state in ('reserved', 'settled', 'estimated')),
  cost_micros bigint,
  usage jsonb,
  created_at timestamptz not null default baton.clock(),
  settled_at timestamptz
);
create index if not exists reservations_of_run on baton.reservations (run_id);

-- A provider's 429 closes the gate of its model for all processes.
create table if not exists baton.gates (
  environment text not null,
  model text not null,
  until timestamptz not null,
  primary key (environment, model)
);

create table if not exists baton.sweeps (
  environment text primary key,
  last_at timestamptz not null,
  pruned_at timestamptz
);

create table if not exists baton.migrations (
  name text primary key,
  checksum text not null,
  applied_at timestamptz not null default now()
);
