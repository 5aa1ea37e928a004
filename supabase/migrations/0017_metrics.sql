-- Metrics: true over all processes because they are counted here, in the transaction of what they count. A transaction appends one row (no row
-- that all of them would have to lock); they are folded into totals beside the work, by the sweeper, by retention and by whoever reads.
create table if not exists baton.metric_deltas (
  id bigint generated always as identity primary key,
  environment text not null,
  -- What a process has counted by itself comes under an id: told again, because the reply was lost, it is counted once.
  flush_id text,
  -- [[name, labels, part, value], ...]
  counts jsonb not null,
  at timestamptz not null default baton.clock()
);
create unique index if not exists metric_deltas_once on baton.metric_deltas (flush_id) where flush_id is not null;

create table if not exists baton.metric_totals (
  environment text not null,
  name text not null,
  labels jsonb not null,
  -- Empty for a counter; of a histogram the bound of a bucket (+Inf beyond the last), where each value stands in one, or sum, min, max.
  part text not null,
  value double precision not null,
  updated_at timestamptz not null default baton.clock(),
  primary key (environment, name, labels, part)
) with (fillfactor = 70);

-- What the work has counted so far: written with its rows (save_work).
do $$ begin
  alter type baton.work add attribute counts jsonb;
exception when duplicate_column then null;
end $$;

create or replace function baton.count(env text, counts jsonb) returns void language plpgsql set search_path = '' as $$
begin
  if counts is null or counts = '[]' then return; end if;
  insert into baton.metric_deltas (environment, counts) values (env, counts);
end $$;

-- One value of a histogram of durations: it is put into its bucket when it is folded, not in the transaction that it tells of.
create or replace function baton.observed(name text, labels jsonb, duration interval) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return case when duration is null then '[]' else jsonb_build_array(jsonb_build_array(name, labels, '=', greatest(0, extract(epoch from duration)))) end;
end $$;

-- The bucket of a duration. The bounds are those of lib/core/metrics.ts.
create or replace function baton.bound_of(seconds double precision) returns text language plpgsql immutable set search_path = '' as $$
declare
  bounds text[] := array['0.1', '0.5', '1', '2', '5', '10', '30', '60', '300'];
  bound text;
begin
  foreach bound in array bounds loop
    if seconds <= bound::double precision then return bound; end if;
  end loop;
  return '+Inf';
end $$;

-- What counts come to: a raw duration (=) is one value in its bucket, and part of sum, min and max. What is no count is passed over: the sweep folds
-- them, and nothing that a process has miscounted may stop it. Without a search_path of its own: put in place it takes a tenth of the time.
create or replace function baton.samples_of(counts jsonb) returns table (name text, labels jsonb, part text, value double precision) language sql immutable as $$
  select e ->> 0, e -> 1, x.part, x.value from jsonb_array_elements(case when jsonb_typeof(counts) = 'array' then counts else '[]' end) e cross join lateral (
    select case when jsonb_typeof(e -> 3) = 'number' then (e ->> 3)::double precision end as value) n cross join lateral (
    select e ->> 2 as part, n.value where e ->> 2 <> '='
    union all select baton.bound_of(n.value), 1 where e ->> 2 = '='
    union all select k.part, n.value from (values ('sum'), ('min'), ('max')) k(part) where e ->> 2 = '=') x
  where n.value is not null and e ->> 0 is not null and jsonb_typeof(e -> 1) = 'object'
$$;

-- Calls whose results enter the history: each once, whoever has answered it. Names that only a model has said are no labels.
create or replace function baton.call_counts(calls baton.tool_calls[]) returns jsonb language plpgsql immutable set search_path = '' as $$
declare
  c baton.tool_calls;
  counts jsonb := '[]';
begin
  foreach c in array calls loop
    counts := counts || jsonb_build_array(jsonb_build_array('baton_tool_calls_total', jsonb_build_object('tool', case when c.attempts > 0 then c.name else 'none' end, 'state', c.state), '', 1));
    if c.attempts > 0 and c.effect <> 'external' and c.state in ('completed', 'failed') then
      counts := counts || baton.observed('baton_tool_duration_seconds', jsonb_build_object('tool', c.name), c.ended_at - c.started_at);
    end if;
  end loop;
  return counts;
end $$;

-- A run that has ended: how, how long it took in all, and how long it waited for its turn.
create or replace function baton.end_counts(r baton.runs) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_array(jsonb_build_array('baton_runs_total', jsonb_build_object('state', r.state, 'stop_reason', r.stop_reason), '', 1))
    || baton.observed('baton_run_duration_seconds', jsonb_build_object('state', r.state), r.ended_at - r.created_at)
    || case when r.started_at is null then '[]' else baton.observed('baton_run_queue_seconds', '{}', r.started_at - r.created_at) end;
end $$;

-- What a commit tells: the model call it stores, the step, the slice that ends with it.
create or replace function baton.commit_counts(w baton.work, h jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
declare
  m jsonb := h -> 'model';
  model jsonb;
  counts jsonb := '[]';
  n integer := coalesce(jsonb_array_length(h -> 'settle'), 0);
  field text;
  tokens bigint;
begin
  if m is not null then
    model := jsonb_build_object('provider', split_part(m ->> 'name', '/', 1), 'model', substr(m ->> 'name', strpos(m ->> 'name', '/') + 1));
    counts := jsonb_build_array(jsonb_build_array('baton_model_calls_total', model || jsonb_build_object('outcome', m -> 'outcome'), '', 1))
      || baton.observed('baton_model_call_duration_seconds', model, baton.duration((m ->> 'ms')::numeric));
    if h ->> 'usage' is not null then
      foreach field in array array['input', 'output', 'cacheRead', 'cacheWrite', 'reasoning'] loop
        tokens := coalesce((h -> 'usage' ->> (field || 'Tokens'))::bigint, 0);
        if tokens > 0 or field in ('input', 'output') then
          counts := counts || jsonb_build_array(jsonb_build_array('baton_model_tokens_total', model || jsonb_build_object('kind', case field when 'cacheRead' then 'cache_read'
            when 'cacheWrite' then 'cache_write' else field end), '', tokens));
        end if;
      end loop;
    end if;
    for at in 0 .. n - 1 loop
      counts := counts || jsonb_build_array(jsonb_build_array('baton_model_cost_micros_total', model, '', coalesce((h -> 'settle' -> at ->> 'costMicros')::bigint, 0)));
    end loop;
  end if;
  if n > 0 then counts := counts || jsonb_build_array(jsonb_build_array('baton_budget_checks_total', '{"outcome": "granted"}'::jsonb, '', n)); end if;
  if coalesce((h -> 'count' ->> 'steps')::integer, 0) > 0 then
    counts := counts || jsonb_build_array(jsonb_build_array('baton_steps_total', '{}'::jsonb, '', (h -> 'count' ->> 'steps')::integer));
  end if;
  if (w.a).lease_owner is null then
    counts := counts || jsonb_build_array(jsonb_build_array('baton_slices_total', jsonb_build_object('outcome', case when not baton.is_open((w.r).state) then 'ended'
      when (w.r).state = 'running' then 'handed_over' when (w.r).state = 'awaiting_approval' then 'paused' else 'waiting' end), '', 1));
  end if;
  return counts;
end $$;

-- An executor that has lost its lease is told so, and that is counted.
create or replace function baton.lost_lease(a baton.agents) returns json language plpgsql set search_path = '' as $$
begin
  if a.environment is not null then perform baton.count(a.environment, '[["baton_lease_losses_total", {}, "", 1]]'); end if;
  return baton.refuse('lease_lost');
end $$;

-- A budget that had no room. Scopes are told by their kind, never by an id. Those on call hear of one that other work shares; not of a call above what one
-- call may cost, nor of what a run may cost alone.
drop function if exists baton.count_refusal(text, jsonb);
create or replace function baton.count_refusal(w baton.work, refusal jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform baton.count((w.a).environment, jsonb_build_array(jsonb_build_array('baton_budget_checks_total', '{"outcome": "refused"}'::jsonb, '', 1),
    jsonb_build_array('baton_budget_blocks_total', jsonb_build_object('scope', split_part(refusal ->> 'scope', ':', 1), 'reason', refusal ->> 'reason'), '', 1)));
  if (refusal ->> 'hard')::boolean then return; end if;
  perform baton.alert_budget((w.a).environment, l) from unnest(w.limits) l where l.key is not null and l.scope = refusal ->> 'scope' and l.period = refusal ->> 'period';
end $$;

-- At most so many series an environment: labels are closed lists, and this holds where one turns out not to be.
create or replace function baton.most_series() returns integer language sql immutable set search_path = '' as $$ select 10000 $$;

-- Rows become part of the totals, the oldest first, a thousand at a time for about so long: how many. What a process has told stays for a minute, for it
-- may be told again. One process at a time does it, and the others need not wait for it.
drop function if exists baton.fold_metrics(text, integer);
create or replace function baton.fold_metrics(env text, span interval) returns integer language plpgsql set search_path = '' as $$
declare
  until timestamptz := clock_timestamp() + span;
  now_at timestamptz := baton.clock();
  -- What this transaction has deleted is not read again.
  place bigint := 0;
  n integer;
  folded integer := 0;
  room boolean;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('baton.metrics ' || env, 0)) then return 0; end if;
  room := (select count(*) from baton.metric_totals t where t.environment = env) < baton.most_series();
  loop
    with gone as (
      delete from baton.metric_deltas d where d.id = any (array(select x.id from baton.metric_deltas x where x.environment = env and x.id > place
        and (x.flush_id is null or x.at < now_at - interval '1 minute') order by x.id limit 1000)) returning d.id, d.counts
    ), entries as (
      select e.name, e.labels, e.part, e.value from gone cross join lateral baton.samples_of(gone.counts) e
    ), summed as (
      select e.name, e.labels, e.part, case e.part when 'min' then min(e.value) when 'max' then max(e.value) else sum(e.value) end as value from entries e group by 1, 2, 3
    ), kept as (
      insert into baton.metric_totals as t (environment, name, labels, part, value, updated_at)
      select env, s.name, s.labels, s.part, s.value, now_at from summed s
      where room or exists (select from baton.metric_totals x where (x.environment, x.name, x.labels, x.part) = (env, s.name, s.labels, s.part))
      order by s.name, s.labels, s.part
      on conflict (environment, name, labels, part) do update set updated_at = excluded.updated_at,
        value = case t.part when 'min' then least(t.value, excluded.value) when 'max' then greatest(t.value, excluded.value) else t.value + excluded.value end
      returning 1
    ) select count(*), max(gone.id) into n, place from gone;
    folded := folded + n;
    exit when n < 1000 or clock_timestamp() > until;
  end loop;
  return folded;
end $$;

-- {environment, id, counts} What a process has counted by itself: requests, errors, its calls of the database. Each process tells it every few seconds beside
-- its work, in a transaction that holds nothing else: here, and not in the sweep, what all of them have counted is added up as fast as it comes.
create or replace function baton.add_metrics(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  minute_ago timestamptz := baton.clock() - interval '1 minute';
begin
  insert into baton.metric_deltas (environment, flush_id, counts) values (p ->> 'environment', p ->> 'id', p -> 'counts') on conflict do nothing;
  -- Many ask while there is nothing to fold, and to count the series costs more than to see that. Who reads them folds always: where nothing can be written, a scrape
  -- is to fail.
  if exists (select from baton.metric_deltas x where x.environment = p ->> 'environment' and (x.flush_id is null or x.at < minute_ago)) then
    perform baton.fold_metrics(p ->> 'environment', interval '1 second');
  end if;
  return json_build_object('ok', true);
end $$;
