"""Package bundles as folders that work without an installed planewise."""

from planewise.workshop.packaging.package_bundle import Packaged, package_bundle
