import type { ReactNode } from 'react'
import type { Page } from '#app/console/_parts/api'
import { Empty, ListState, Pager } from '#app/console/_parts/bits.tsx'
import type { Resource, useCursor } from '#app/console/_parts/use-resource'

/** A column's title; `num` for figures, `acts` for buttons, whose title only screen readers are told. */
export type Column = string | readonly [title: string, kind: 'num' | 'acts']

/** A page of a list in whatever state it is: loading, refused, empty or its rows, which `children` makes, and the way to other pages. */
export function PagedTable<Row>({
  list,
  pages,
  columns,
  empty,
  children,
}: {
  list: Resource<Page<Row>>
  pages: ReturnType<typeof useCursor>
  columns: readonly Column[]
  empty: ReactNode
  children: (row: Row) => ReactNode
}) {
  const page = list.data
  return (
    <>
      <ListState list={list} empty={pages.page === 1 ? empty : <Empty title="No more" />} />
      {page !== null && page.data.length > 0 && (
        <div className="table-wrap">
          <table className="cards">
            <thead>
              <tr>
                {columns.map((column) => (
                  <Heading key={typeof column === 'string' ? column : column[0]} column={column} />
                ))}
              </tr>
            </thead>
            <tbody>{page.data.map(children)}</tbody>
          </table>
        </div>
      )}
      {page !== null && <Pager {...pages} next={page.nextCursor} />}
    </>
  )
}

function Heading({ column }: { column: Column }) {
  const [title, kind] = typeof column === 'string' ? [column, null] : column
  if (kind === 'acts') {
    return (
      <th>
        <span className="hidden-text">{title}</span>
      </th>
    )
  }
  return <th className={kind ?? undefined}>{title}</th>
}
