'use client'

import type { ReactNode } from 'react'
import { Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components'

export interface OverlayProps {
  title: string
  /** What would be lost with it: what was typed is not closed by a click beside it, what is shown once not by Escape either. */
  holds: 'input' | 'secret' | undefined
  close: () => void
  children: ReactNode
}

/** A dialog over the page: focus stays inside, Escape closes it, and the page behind is out of reach. */
export default function Overlay({ title, holds, close, children }: OverlayProps) {
  return (
    <ModalOverlay
      className="overlay"
      isOpen
      isDismissable={holds === undefined}
      isKeyboardDismissDisabled={holds === 'secret'}
      onOpenChange={(open) => !open && close()}
    >
      <Modal className="modal">
        <Dialog className="dialog">
          <header>
            <Heading slot="title">{title}</Heading>
            <button type="button" className="button plain" aria-label="Close" onClick={close}>
              ✕
            </button>
          </header>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}
