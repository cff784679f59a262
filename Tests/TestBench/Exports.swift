@_exported import VFIOUserTesting
