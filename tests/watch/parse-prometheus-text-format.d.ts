declare module 'parse-prometheus-text-format' {
  /** Families of a text in Prometheus's format; checked by whoever reads it. */
  export default function parse(text: string): unknown
}
