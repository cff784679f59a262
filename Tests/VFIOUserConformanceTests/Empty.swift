@testable import VFIOUserConformance
