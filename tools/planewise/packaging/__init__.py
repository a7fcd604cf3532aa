"""Package bundles as folders that work without an installed planewise, and check them."""

from planewise.packaging.check_bundle import check_bundle
from planewise.packaging.checks.finding import Finding
from planewise.packaging.package_bundle import Packaged, package_bundle

__all__ = ["Finding", "Packaged", "check_bundle", "package_bundle"]
