'use client'

import { useSearchParams } from 'next/navigation'
import { useState } from 'react'
import type { ApprovalView } from '#lib/core/approvals'
import { query, type Page } from '#app/console/_parts/api'
import { ApprovalCard } from '#app/console/_parts/approvals/approval-card.tsx'
import { Empty, ListState, PageHead, Pager } from '#app/console/_parts/bits.tsx'
import { useCursor, useResource } from '#app/console/_parts/use-resource'

const states = ['pending', 'allowed', 'denied', 'expired', 'cancelled'] as const

/** The inbox of what a person must decide, and what has been decided. */
export function ApprovalsPage() {
  const agent = useSearchParams().get('agent')
  const [state, setState] = useState<string>('pending')
  const pages = useCursor(`${state} ${agent ?? ''}`)
  const list = useResource<Page<ApprovalView>>(`/api/approvals${query({ state, agent, limit: 25, cursor: pages.cursor })}`, 4_000)
  return (
    <>
      <PageHead
        title="Approvals"
        about={
          agent === null
            ? 'Calls that wait for a person. Nothing runs and nothing is spent until they are decided.'
            : `Of the agent ${agent}.`
        }
      >
        <div className="segments" role="group" aria-label="State">
          {states.map((name) => (
            <button key={name} type="button" aria-pressed={state === name} onClick={() => setState(name)}>
              {name[0]?.toUpperCase()}
              {name.slice(1)}
            </button>
          ))}
        </div>
      </PageHead>
      <div className="approvals">
        {list.data === null || list.data.data.length === 0 ? (
          <section className="card">
            <ListState
              list={list}
              empty={
                pages.page > 1 ? (
                  <Empty title="No more" />
                ) : state === 'pending' ? (
                  <Empty title="Nothing to decide">A call that a template, an agent or a message asks about comes here at once.</Empty>
                ) : (
                  <Empty title={`None is ${state}`} />
                )
              }
            />
          </section>
        ) : (
          list.data.data.map((approval) => <ApprovalCard key={approval.id} approval={approval} decided={list.refresh} />)
        )}
      </div>
      {list.data !== null && <Pager {...pages} next={list.data.nextCursor} />}
    </>
  )
}
