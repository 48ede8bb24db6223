"""Images, dataset folders, samples, patches."""
