import { files } from '#tests/project/sources'

/** The files of Baton that an app around it gets to see, without tests. */
export function batonFiles(): string[] {
  return files().filter(
    (file) => /^(app|inngest|lib|local|scripts|supabase)\/|^(package|tsconfig)\.json$/.test(file) && !/\.test\.tsx?$/.test(file),
  )
}
