"""What a user must not write: mypy tells of each line with "wrong"."""

import seer


def misuse(client: seer.Client) -> None:
    client.submit(3)  # wrong
    client.wait("job", timeout="5")  # wrong
    loss: str = client.job("job").progress.loss  # wrong
    client.jobs(["RUNNING"])  # wrong
    for event in client.follow("job"):
        event.nothing  # wrong
