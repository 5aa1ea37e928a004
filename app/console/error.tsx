'use client'

/** What stands in the place of a page that has thrown, such as one whose scripts could not be loaded; the way to the other pages stays beside it. */
export default function PageError() {
  return (
    <div className="failure" role="alert">
      <strong>This page could not go on</strong>
      <p>What was sent before is kept. Read the page again to go on.</p>
      <button type="button" className="button small" onClick={() => window.location.reload()}>
        Reload
      </button>
    </div>
  )
}
