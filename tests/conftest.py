"""Options of the whole test run."""


def pytest_addoption(parser):
    parser.addoption(
        "--faults",
        type=float,
        default=0.04,
        metavar="SHARE",
        help="how much of tests/faults is done, as a share of the full numbers (`make faults`: 1)",
    )
