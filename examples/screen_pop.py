"""Show who is calling while it still rings: open the customer's page for the caller's number.

    python examples/screen_pop.py customers.csv --url 'https://crm.example.org/customers/{id}'

The file has the columns number, name and id. Numbers are compared by their last nine digits, however they are written.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from offhook.errors import OffhookError, reason_of
from offhook.sync import Softphone


class Customer(NamedTuple):
    """One line of the file."""

    name: str
    id: str


def key(number: str) -> str:
    """Return what two ways of writing a number have in common."""
    return re.sub(r"\D", "", number)[-9:]


def read_customers(file: Path) -> dict[str, Customer]:
    """Return the customers by their number's key."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines, restval="")
        if not {"number", "name", "id"} <= set(table.fieldnames or ()):
            raise ValueError(f"{file}: its first line must name the columns: number,name,id")
        return {key(line["number"]): Customer(line["name"], line["id"]) for line in table}


def pop(
    phone: Softphone, customers: Mapping[str, Customer], url: str, show: Callable[[str], object] = webbrowser.open
) -> None:
    """Show a page for every known caller, until the phone is closed."""
    for call in phone.incoming:
        number = call.remote.number
        customer = customers.get(key(number))
        if customer is None:
            print(f"{number} {call.remote.display}: not a customer")
        else:
            print(f"{number}: {customer.name}")
            show(url.format(id=customer.id, number=number))


def main() -> None:
    """Read the command line and watch."""
    parser = argparse.ArgumentParser(description="Open the page of whoever calls.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    try:
        options.url.format(id="", number="")
    except (LookupError, ValueError):
        parser.error("--url takes {id} and {number}, and no other braces")
    with Softphone.connect(name="screen-pop") as phone:
        pop(phone, read_customers(options.file), options.url)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except (OffhookError, OSError, ValueError) as error:  # no phone (`offhook run` starts one), a file that is no such list …
        sys.exit(reason_of(error))
