"""The lineage: one module per stage, assets that delegate."""
