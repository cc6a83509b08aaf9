# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which loopback address a process of the local runtime has: a pure function, so that every role can know it beforehand."""

from __future__ import annotations

import zlib

FIRST = "127.0.0.1"
"""Where a person finds the first replica of a workload that has a Service."""

SERVICE_SUBNETS = 199
"""Third octets 1 to 199 belong to workloads with a Service, 200 to 254 to all others."""


def replica_address(network, workload, index):
    """Return the address of replica ``index`` of a workload that has a Service.

    ``network`` is the first two octets ("127.0"). Other workloads are never addressed by anyone, so the runtime
    gives their processes any free address.
    """
    if index == 0:
        return FIRST
    return "%s.%d.%d" % (network, zlib.crc32(workload.encode()) % SERVICE_SUBNETS + 1, index + 1)


def free_address(network, taken):
    """Return the first address for a process without a Service that is not in ``taken``."""
    for third in range(SERVICE_SUBNETS + 1, 255):
        for fourth in range(1, 255):
            address = "%s.%d.%d" % (network, third, fourth)
            if address not in taken:
                return address
    raise ValueError("more than 13970 processes do not fit into %s.0.0/16" % network)
