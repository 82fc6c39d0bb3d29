"""Long lists of pairs, captioned by the processes of one machine or of a cluster.

    ArchiveSettings   what a row depends on
    Folder            the list, cut into blocks, and a file of rows for each that is done
    BlockCaptioner    holds the model in a process of its own; a block in, its file out
    write_archive     Ray Data hands out the blocks that are not done yet
    ArchiveSummary    counts, a histogram, the rows to look at first; a page of them

Ray does the work of handing out: here is no scheduler. It needs no network, and is told
to use none (`sencap.archive.cluster`).
"""

from sencap.archive.run import write_archive
from sencap.archive.settings import ArchiveSettings

__all__ = ["ArchiveSettings", "write_archive"]
