"""What a result looks like on paper: report.json, pictures, and one HTML page that needs nothing else."""
