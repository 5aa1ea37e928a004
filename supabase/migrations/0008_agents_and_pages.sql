-- What the rest of the HTTP surface needs: agents, retry, and bounded pages over everything.

create or replace function baton.agent_json(a baton.agents) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('id', a.id, 'agentUid', a.agent_uid, 'template', a.template, 'templateVersion', a.settings ->> 'templateVersion',
    'model', a.settings ->> 'model', 'state', a.state, 'steps', a.steps, 'queued', a.queued, 'activeRunId', a.active_run, 'metadata', a.metadata,
    'overrides', a.overrides, 'expiresAt', a.expires_at, 'alwaysAllowed', a.always_allowed, 'webhook', case when a.webhook is not null then json_build_object('url', a.webhook ->> 'url') end,
    'userId', a.owner_id, 'messages', a.last_message_seq, 'lastSeq', a.last_event_seq, 'windowFrom', a.window_from, 'windowTokens', a.window_tokens,
    'createdAt', a.created_at, 'updatedAt', a.updated_at);
end $$;

create or replace function baton.create_agent(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  x record;
  w baton.work;
begin
  select * into x from baton.lock_agent(w, p);
  if x.refusal is not null then return x.refusal; end if;
  w := x.w;
  -- Secrets are sealed anew each time, so that they are compared by their marks; rows of an earlier version have none.
  if not x.created and ((w.a).metadata <> coalesce(p -> 'agent' -> 'metadata', '{}') or (w.a).overrides <> coalesce(p -> 'agent' -> 'overrides', '{}')
    or (w.a).webhook ->> 'url' is distinct from p -> 'agent' -> 'webhook' ->> 'url'
    or coalesce((w.a).webhook ->> 'mark', case when (w.a).webhook ->> 'secret' is null then '' else p -> 'agent' -> 'webhook' ->> 'mark' end)
      is distinct from coalesce(p -> 'agent' -> 'webhook' ->> 'mark', '')) then
    return baton.refuse('conflict', jsonb_build_object('reason', 'other_body', 'agentId', (w.a).id));
  end if;
  if x.created then w := baton.narrow_agent(w, p); end if;
  return json_build_object('ok', true, 'created', x.created, 'mayRead', x.created or baton.may_read(p), 'agent', baton.agent_json(w.a));
end $$;

create or replace function baton.find_agent(p jsonb) returns baton.agents language plpgsql stable set search_path = '' as $$
declare
  a baton.agents;
begin
  select * into a from baton.agents x where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and x.id = p ->> 'agent'
    and baton.may_see(p, x.agent_uid, x.owner_id);
  return a;
end $$;

create or replace function baton.get_agent(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  a baton.agents := baton.find_agent(p);
begin
  if a.agent_uid is null then return baton.refuse('agent_not_found'); end if;
  -- The sum over all runs is for who asks for it; the other readers only need the row.
  return json_build_object('ok', true, 'tenant', a.tenant_id, 'agent', baton.agent_json(a), 'cost', case when (p ->> 'cost')::boolean then
    (select json_build_object('runs', count(*), 'costMicros', coalesce(sum(r.cost_micros), 0)) from baton.runs r where r.agent_uid = a.agent_uid) end);
end $$;

-- {metadata?, webhook?, alwaysAllowed?} Metadata replaces what was there; webhook null removes it.
create or replace function baton.patch_agent(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  a baton.agents;
begin
  -- Ends of all runs are sent there, whoever has asked for them.
  if p ? 'webhook' and not baton.may_read(p) then return baton.refuse('forbidden', '{"reason": "webhook_reads", "needed": "agents:read"}'); end if;
  update baton.agents x set metadata = coalesce(p -> 'metadata', x.metadata), webhook = case when p ? 'webhook' then nullif(p -> 'webhook', 'null') else x.webhook end,
    -- Only taken away here: adding is a decision about a call.
    always_allowed = case when p ? 'alwaysAllowed' then (select coalesce(jsonb_agg(t.name), '[]') from jsonb_array_elements_text(x.always_allowed) t (name)
      where p -> 'alwaysAllowed' ? t.name) else x.always_allowed end, updated_at = baton.clock()
  where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and x.id = p ->> 'agent'
    and baton.may_see(p, x.agent_uid, x.owner_id) returning * into a;
  if not found then return baton.refuse('agent_not_found'); end if;
  return json_build_object('ok', true, 'mayRead', baton.may_read(p), 'agent', baton.agent_json(a));
end $$;

-- At once and complete, see remove_agent (0020).
create or replace function baton.delete_agent(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  a baton.agents;
begin
  select * into a from baton.agents x where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and x.id = p ->> 'agent'
    and baton.may_see(p, x.agent_uid, x.owner_id) for update;
  if not found then return baton.refuse('agent_not_found'); end if;
  perform baton.remove_agent(a);
  return json_build_object('ok', true, 'agentUid', a.agent_uid);
end $$;

-- {runId} Also by the id that a steered message would have given its own run: then the run that it has come to.
create or replace function baton.get_run(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  r baton.runs;
  a baton.agents;
begin
  select * into r from baton.runs x where x.run_id = p ->> 'runId' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment'
    and baton.may_see(p, x.agent_uid, x.owner_id);
  if not found then
    select x.* into r from baton.idempotency i join baton.runs x on x.run_id = i.run_id where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:steered'
      and i.key = p ->> 'runId' and x.environment = p ->> 'environment' and baton.may_see(p, x.agent_uid, x.owner_id);
    if not found then return baton.refuse('run_not_found'); end if;
  end if;
  select * into a from baton.agents x where x.agent_uid = r.agent_uid;
  return json_build_object('ok', true, 'now', baton.clock(), 'tenant', r.tenant_id, 'run', baton.run_json(r, a),
    'switch', case when r.ended_at is null then baton.switch_json(baton.switch_of(a, r)) end, 'gateMs', (select greatest(0, baton.millis(g.until - baton.clock()))
      from baton.gates g where g.environment = a.environment and g.model = a.settings ->> 'model'), 'queuePosition', (select count(*) from baton.inbox j
      -- In the order of start_next: what goes ahead of the queue counts as ahead of it.
      join baton.inbox i on i.agent_uid = j.agent_uid and (i.mode = 'enqueue', i.position) <= (j.mode = 'enqueue', j.position)
      where j.agent_uid = r.agent_uid and j.run_id = r.run_id and r.state = 'queued'),
    'openCalls', (select coalesce(json_agg(json_build_object('callId', c.call_id, 'name', c.name, 'state', c.state, 'startedAt', c.started_at)), '[]')
      from baton.tool_calls c where c.run_id = r.run_id and not c.entered and not baton.is_final_call(c.state)),
    'waits', case when r.state in ('awaiting_approval', 'waiting') then baton.waits_json(r.agent_uid, r.run_id) end,
    'blockedBy', case when r.state = 'queued' and a.state = 'paused' then a.active_run end,
    'previousRunId', (select max(b.run_id) from baton.runs b where b.agent_uid = r.agent_uid and b.run_id < r.run_id),
    -- Where a tenant is told of its runs is no business of a user's; endpoints and what they answer are for administrators.
    'webhooks', case when p ? 'ownOnly' then '[]' else (select coalesce(json_agg(json_build_object('id', d.id, 'eventId', d.event_id, 'url', d.url, 'type', d.type, 'state', d.state,
      'attempts', d.attempts, 'nextAt', d.next_at, 'log', d.log)), '[]') from baton.webhook_deliveries d where d.run_id = r.run_id and d.endpoint_id is null) end);
end $$;

-- The cursor is the last row's key, so pages stay true while rows are added. Direction and comparison are put into the text (both are
-- literals of this file, never a caller's), so that either order walks its index; the plan is made for the filters that were given.
create or replace function baton.list_agents(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  falling boolean := coalesce(p ->> 'order', 'asc') = 'desc';
  page json;
begin
  execute format($q$
    select json_agg(baton.agent_json(x.a) order by (x.a).agent_uid %2$s) from (
      select a from baton.agents a where a.tenant_id = $1 ->> 'tenant' and a.environment = $1 ->> 'environment'
        and (not $1 ? 'ownOnly' or a.owner_id = ($1 ->> 'ownerId')::uuid) and not $1 ? 'onlyAgent'
        and ($1 ->> 'after' is null or a.agent_uid %1$s ($1 ->> 'after')::uuid) and ($1 ->> 'template' is null or a.template = $1 ->> 'template')
        and ($1 ->> 'state' is null or a.state = $1 ->> 'state') and ($1 ->> 'prefix' is null or starts_with(a.id, $1 ->> 'prefix'))
        and ($1 ->> 'user' is null or a.owner_id = ($1 ->> 'user')::uuid) and ($1 ->> 'from' is null or a.created_at >= ($1 ->> 'from')::timestamptz)
        and ($1 ->> 'to' is null or a.created_at < ($1 ->> 'to')::timestamptz) 
        -- As text: a query has no types. What JSON writes of a number or a boolean is what is asked for.
        and ($1 ->> 'metadata' is null or not exists (select from jsonb_each_text($1 -> 'metadata') f where a.metadata ->> f.key is distinct from f.value))
      order by a.agent_uid %2$s limit ($1 ->> 'limit')::integer) x
    $q$, case when falling then '<' else '>' end, case when falling then 'desc' else 'asc' end) into page using p;
  return json_build_object('ok', true, 'data', coalesce(page, '[]'));
end $$;

-- {..., limit, bytes?} A page ends at its number, or before the row that would make it larger than its bytes, with one row at least: more says that it did. What comes behind does
-- not leave the database, and of calls and events is not even read: 200 rows may be 100 MB. Code of before an upgrade names no bytes and gets all. So do calls, events and approvals.
create or replace function baton.list_runs(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  falling boolean := coalesce(p ->> 'order', 'desc') = 'desc';
  rows json[] := '{}';
  room bigint := (p ->> 'bytes')::bigint;
  told json;
  cut boolean;
  x record;
begin
  for x in execute format($q$
      select r, a from baton.runs r join baton.agents a using (agent_uid) where r.tenant_id = $1 ->> 'tenant' and r.environment = $1 ->> 'environment'
        and (not $1 ? 'ownOnly' or r.owner_id = ($1 ->> 'ownerId')::uuid) and not $1 ? 'onlyAgent'
        and ($1 ->> 'agentUid' is null or r.agent_uid = ($1 ->> 'agentUid')::uuid) and ($1 ->> 'after' is null or r.run_id %1$s $1 ->> 'after')
        and ($1 ->> 'state' is null or r.state = $1 ->> 'state') and ($1 ->> 'stopReason' is null or r.stop_reason = $1 ->> 'stopReason')
        and ($1 ->> 'template' is null or a.template = $1 ->> 'template') and ($1 ->> 'user' is null or r.owner_id = ($1 ->> 'user')::uuid)
        and ($1 ->> 'from' is null or r.created_at >= ($1 ->> 'from')::timestamptz) and ($1 ->> 'to' is null or r.created_at < ($1 ->> 'to')::timestamptz)
      order by r.run_id %2$s limit ($1 ->> 'limit')::integer
    $q$, case when falling then '<' else '>' end, case when falling then 'desc' else 'asc' end) using p
  loop
    told := baton.run_json(x.r, x.a);
    room := room - octet_length(told::text);
    cut := room < 0 and cardinality(rows) > 0;
    exit when cut;
    rows := rows || told;
  end loop;
  return json_build_object('ok', true, 'data', array_to_json(rows), 'more', coalesce(cut or cardinality(rows) >= (p ->> 'limit')::integer, false) and cardinality(rows) > 0);
end $$;

-- {agentUid, after?, before?, role?, from?, to?, limit, bytes?, queue?, queuedAfter?} A page ends at its bytes as at its number, with one message at least: cut says so. queue: so many
-- bytes of what waits are told, too (0: nothing), behind the last page in what it leaves of its bytes, with before behind any; queuedAt is where they end, queuedCut that there are more.
-- Code that runs on from before an upgrade names none: it gets all that waits and knows itself where to show it.
create or replace function baton.list_messages(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  uid uuid := (p ->> 'agentUid')::uuid;
  after bigint := coalesce((p ->> 'after')::bigint, 0);
  most bigint := coalesce((p ->> 'bytes')::bigint, 4000000);
  room bigint := coalesce((p ->> 'queue')::bigint, 9000000000000000000);
  asked bigint[];
  page record;
  waiting record;
begin
  if p ->> 'before' is null then
    asked := array(select m.seq from baton.messages m where m.agent_uid = uid and m.seq > after
      and (p ->> 'role' is null or m.role = p ->> 'role') and baton.within(p, m.created_at) order by m.seq limit (p ->> 'limit')::integer);
  else
    asked := array(select m.seq from baton.messages m where m.agent_uid = uid and m.seq > after
      and m.seq < (p ->> 'before')::bigint and (p ->> 'role' is null or m.role = p ->> 'role') and baton.within(p, m.created_at) order by m.seq desc limit (p ->> 'limit')::integer);
  end if;
  select coalesce(array_agg(x.seq), '{}') as seqs, coalesce(sum(x.bytes), 0)::bigint as bytes into page from (
    select m.seq, m.bytes, row_number() over turn as place, sum(m.bytes::bigint) over turn as upto from baton.messages m where m.agent_uid = uid and m.seq = any (asked)
    window turn as (order by case when p ->> 'before' is null then m.seq else -m.seq end)) x
  where x.place = 1 or x.upto <= most;
  most := case when room = 0 then null when p ->> 'before' is not null or p ->> 'queue' is null then room
    when cardinality(asked) < (p ->> 'limit')::integer and cardinality(page.seqs) = cardinality(asked) then least(room, most - page.bytes) end;
  select coalesce(json_agg(json_build_object('runId', x.run_id, 'role', 'user', 'kind', x.kind, 'mode', x.mode, 'state', 'queued', 'content', x.content, 'at', x.created_at) order by x.place)
    filter (where x.fits), '[]') as told, max(x.place) filter (where x.fits) as upto, coalesce(bool_or(not x.fits), false) as cut into waiting from (
    select i.*, y.place, sum(i.bytes::bigint) over turn <= most or (row_number() over turn = 1 and (cardinality(page.seqs) = 0 or p ->> 'before' is not null)) as fits
    from baton.inbox i, lateral (select i.position + case when i.mode = 'enqueue' then 1000000000000000 else 0 end as place) y
    -- They come after every number, so that `after` passes none over; of a time, as of all others, only those of that time are told.
    where most is not null and i.agent_uid = uid and i.kind <> 'retry' and coalesce(p ->> 'role', 'user') = 'user' and baton.within(p, i.created_at)
      and y.place > coalesce((p ->> 'queuedAfter')::bigint, 0) window turn as (order by y.place)) x;
  return json_build_object('ok', true, 'bytes', page.bytes, 'cut', cardinality(page.seqs) < cardinality(asked),
    'data', (select coalesce(json_agg(baton.message_json(m) order by m.seq), '[]') from baton.messages m where m.agent_uid = uid and m.seq = any (page.seqs)),
    'queued', waiting.told, 'queuedAt', waiting.upto, 'queuedCut', waiting.cut);
end $$;

create or replace function baton.list_tool_calls(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  rows json[] := '{}';
  room bigint := (p ->> 'bytes')::bigint;
  told json;
  cut boolean;
  c baton.tool_calls;
begin
  for c in select x.* from baton.tool_calls x where x.agent_uid = (p ->> 'agentUid')::uuid and x.call_id > coalesce(p ->> 'after', '')
      and (p ->> 'state' is null or x.state = p ->> 'state') and (p ->> 'name' is null or x.name = p ->> 'name')
      and (p ->> 'runId' is null or x.run_id = p ->> 'runId') and (not p ? 'callIds' or p -> 'callIds' ? x.call_id) and baton.within(p, x.created_at)
    order by x.call_id limit (p ->> 'limit')::integer
  loop
    told := baton.call_json(c);
    room := room - octet_length(told::text);
    cut := room < 0 and cardinality(rows) > 0;
    exit when cut;
    rows := rows || told;
  end loop;
  return json_build_object('ok', true, 'data', array_to_json(rows), 'more', coalesce(cut or cardinality(rows) >= (p ->> 'limit')::integer, false) and cardinality(rows) > 0);
end $$;

-- {agentUid, after, runId?, channels?, types?, from?, to?, reader?, limit, bytes?} reader: as reader_of tells it. A cursor older than the oldest kept event is refused with that number, and so is one
-- beyond the last: an agent that was made anew, or restored from a backup, would be silent to its reader until it has told as much again.
create or replace function baton.list_events(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  a baton.agents;
  after bigint := (p ->> 'after')::bigint;
  rows json[] := '{}';
  room bigint := (p ->> 'bytes')::bigint;
  told json;
  cut boolean;
  one baton.events;
begin
  select * into a from baton.agents x where x.agent_uid = (p ->> 'agentUid')::uuid;
  if not found then return baton.refuse('agent_not_found'); end if;
  if after is not null and after + 1 < a.first_event_seq then return baton.refuse('cursor_expired', jsonb_build_object('oldestSeq', a.first_event_seq)); end if;
  if after > a.last_event_seq then return baton.refuse('cursor_expired', jsonb_build_object('oldestSeq', a.first_event_seq, 'lastSeq', a.last_event_seq)); end if;
  for one in select e.* from baton.events e where e.agent_uid = a.agent_uid and e.seq > coalesce(after, a.first_event_seq - 1)
      and (p ->> 'runId' is null or e.run_id = p ->> 'runId')
      and (p ->> 'channels' is null or e.channel in (select jsonb_array_elements_text(p -> 'channels')))
      and (p ->> 'types' is null or e.type in (select jsonb_array_elements_text(p -> 'types')))
      and (p ->> 'from' is null or e.at >= (p ->> 'from')::timestamptz) and (p ->> 'to' is null or e.at < (p ->> 'to')::timestamptz)
    order by e.seq limit (p ->> 'limit')::integer
  loop
    told := json_build_object('seq', one.seq, 'at', one.at, 'channel', one.channel, 'type', one.type, 'runId', one.run_id, 'step', one.step, 'data', one.data);
    room := room - octet_length(told::text);
    cut := room < 0 and cardinality(rows) > 0;
    exit when cut;
    rows := rows || told;
  end loop;
  return json_build_object('ok', true, 'lastSeq', a.last_event_seq, 'epoch', a.lease_epoch,
    'committedSeq', coalesce((a.last_answer ->> 'lastSeq')::bigint, 0), 'activeRunId', a.active_run,
    -- A reader may stand behind the event that told of its run's own pause.
    'blockedBy', case when a.state = 'paused' and (a.active_run = p ->> 'runId' and p ? 'reader'
        or a.active_run <> p ->> 'runId' and exists (select from baton.runs r where r.run_id = p ->> 'runId' and r.state = 'queued'))
      then baton.head_waits(a, p ->> 'reader') || jsonb_build_object('runId', a.active_run) end,
    'runOpen', (select baton.is_open(r.state) from baton.runs r where r.run_id = p ->> 'runId'),
    'data', array_to_json(rows), 'more', coalesce(cut or cardinality(rows) >= (p ->> 'limit')::integer, false) and cardinality(rows) > 0);
end $$;

-- The events of one agent that are past their time or their number go, the oldest first: at most so many. The agent is locked; who is busy waits
-- for the next round. gone null: somebody else has it.
create or replace function baton.prune_events(uid uuid, keep jsonb, most integer, out gone integer, out more boolean) language plpgsql set search_path = '' as $$
declare
  a baton.agents;
  before timestamptz := baton.clock() - baton.duration((keep ->> 'eventDays')::numeric * 86400000);
  cut bigint;
begin
  more := false;
  select * into a from baton.agents x where x.agent_uid = uid for update skip locked;
  if not found then return; end if;
  -- Numbers and instants rise together: the old ones are a run of rows at the beginning.
  select max(e.seq) into cut from (select x.seq, x.at from baton.events x where x.agent_uid = uid order by x.seq limit most) e where e.at < before;
  cut := greatest(coalesce(cut, 0), a.last_event_seq - (keep ->> 'eventsPerAgent')::bigint);
  more := cut - a.first_event_seq + 1 > most;
  cut := least(cut, a.first_event_seq + most - 1);
  delete from baton.events e where e.agent_uid = uid and e.seq <= cut;
  get diagnostics gone = row_count;
  if cut >= a.first_event_seq then update baton.agents x set first_event_seq = cut + 1 where x.agent_uid = uid; end if;
  more := more or gone >= most;
end $$;
