'use client'

import Markdown from 'markdown-to-jsx'
import type { ReactNode } from 'react'

/** A picture stands as a link: this page loads nothing from elsewhere. */
function Picture({ src, alt }: { src?: string; alt?: string }) {
  return <Link {...(src === undefined ? {} : { href: src })}>{alt === undefined || alt === '' ? (src ?? 'picture') : alt}</Link>
}

function Link({ href, children }: { href?: string; children?: ReactNode }) {
  const safe = href !== undefined && /^(https?:|mailto:)/i.test(href)
  if (!safe) return <>{children}</>
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  )
}

const options = {
  disableParsingRawHTML: true,
  forceBlock: true,
  overrides: { a: { component: Link }, img: { component: Picture } },
} as const

/** Markdown that a model wrote: as elements, never as HTML of its own; links to the web only, and marked as foreign. */
export default function RichText({ text }: { text: string }) {
  return <Markdown options={options}>{text}</Markdown>
}
