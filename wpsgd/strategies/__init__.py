"""Strategies: who says what to whom, and when. One paper a file; none of them sees a runtime."""
