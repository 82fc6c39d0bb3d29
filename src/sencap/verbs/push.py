"""`sencap push`: weights handed to others."""

from __future__ import annotations


def command(
    folder: str,
    repository: str,
    *,
    report: list[str],
    about: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    out: str | None = None,
) -> str:
    """Upload a checkpoint folder to Hugging Face's hub, with a card and a STAC item.

    The card is written from the run and the reports; what only you can say (licence,
    data, intended use, limits) stands in a YAML file. A licence that is not set and an
    empty section are refused. After the upload the files are fetched anew, compared,
    loaded and tried. Log in with hf auth login, or set HF_TOKEN. Output: the commit.

    Args:
        folder: The checkpoint folder. It stays as it is.
        repository: OWNER/NAME on the hub; it is made if it is not there.
        report: A report of sencap evaluate --json, made with these weights; or several.
        about: A YAML file with licence, licence_terms, data, intended_use and limits
            (default: about.yaml in the folder).
        private: Make a new repository private.
        dry_run: Upload nothing; write card, item and example into OUT.
        out: Where a dry run writes (default: the folder's name with -card, beside it).
    """
    from sencap.errors import SettingsError

    if out is not None and not dry_run:
        raise SettingsError("out is where a dry run writes: give --dry-run with it")
    from sencap.publishing import push

    done = push(
        folder,
        repository,
        reports=report,
        about=about,
        private=private,
        dry_run=dry_run,
        out=out,
    )
    if done.commit is None:
        return f"nothing was uploaded; look at {done.folder}: {', '.join(done.files)}"
    return (
        f"pushed {len(done.files)} files; fetched anew, they are the same and say "
        f"“{done.caption}” of an example\nhub:{repository}@{done.commit}"
    )
